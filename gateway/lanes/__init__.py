"""How requests come in: a lane turns connections into exchanges.

fast_lane       over compiled connections: requests become exchanges
fast_body       a body that has to be waited for
control_plane   what is no exchange: from the fast lane to the application
application     over aiohttp's server: requests become exchanges and pages
aiohttp_lane    the body and the reply of one of them
aiohttp_judge   what aiohttp takes for a request and we do not
aiohttp_server  its connections, and our own words for what is not HTTP
decoding        compressed bodies
generations     which configurations the exchanges still use
"""

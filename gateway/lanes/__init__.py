"""How requests come in: a lane turns connections into exchanges.

application     over aiohttp's server: requests become exchanges and pages
aiohttp_lane    the body and the reply of one of them
aiohttp_server  its connections, and our own words for what is not HTTP
decoding        compressed bodies
generations     which configurations the exchanges still use
"""

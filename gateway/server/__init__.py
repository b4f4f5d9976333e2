"""The processes: the supervisor and its workers.

supervisor     one loop over signals, channels and the checker; who it is made of:
  reloads        configurations, from the first to the newest: checked, then brought about as a whole or refused
  checker        a short-lived process that checks one; examination, verdict, settings: what it does, says, and of what
  crew           the workers as processes; children: forking them
  fleet          which workers there are and what is to be done about them; ownership: who accepts on which socket
  watch          which of them are silent
  listeners      the listening sockets
  channel        what supervisor and worker say to each other
  signals, own_log, fleet_meters, readiness, pid_file, title, processors   one small thing each
worker         one event loop; what it is made of:
  doors          the sockets it accepts on; handshakes: those on which TLS is spoken
  departure      how it leaves: retire, drain, stop
  worker_logs    its logs
"""

from gateway.exchange cimport Attempt, Exchange

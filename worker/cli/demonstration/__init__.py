"""What `flowbridge demo` shows: the stage it is played on, what is asked and expected, and how it is printed.

The stage is the real worker and the real requester over loopback sockets; only the cloud's ends are stand-ins.
"""

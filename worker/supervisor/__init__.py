"""One worker in several processes, for more than one core: a supervisor, which handles no request, and its children.

A socket pair joins the supervisor to each child, as the child's standard input. Down it comes what the child is to do
(`brief`), up it goes what the child says of itself, and whichever end closes first has ended. What may live here:
starting, hearing and ending processes, and making one document out of theirs. What may not: anything of a request.
`seat`, `documents` and `supervise` are the supervisor's; `child` alone imports the worker itself.
"""

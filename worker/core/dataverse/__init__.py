"""What Dataverse sends: RemoteExecutionContext in DataContract JSON, and the Claims properties beside it.

`facts` is what routing needs of every event, `reader` the whole typed context, `plain` the same as JSON that a flow can
use without knowing DataContract, `sample` the writing side. Nothing here knows Service Bus, flows or replies.
"""

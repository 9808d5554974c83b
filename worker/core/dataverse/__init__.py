"""What Dataverse sends: RemoteExecutionContext in JSON, XML and .NET binary XML, and the Claims properties beside it.

One description (`contracts`) and one typed model (`context`) stand behind the three forms (`forms` reads and writes
them). `event` recognises one in a message, `facts` and `changes` are what routing looks at, `plain` and `schema` what a
flow gets, `sample` makes some up. Nothing here knows Service Bus, flows or replies.
"""

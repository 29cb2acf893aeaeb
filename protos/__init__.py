"""What the coordinator and a site say to each other, as protobuf messages generated from gate.proto.

`make protos` regenerates `gate_pb2.py` and its types. They are committed because Flower's
bundle holds only what git knows; a test compares them with a fresh run of the compiler.
"""

"""MLflow's REST protocol: its clients work unchanged.

Source: MLflow 3.17, REST API; the JSON mapping of Protocol Buffers.
"""

"""Networks as ONNX graphs; torch and onnx."""

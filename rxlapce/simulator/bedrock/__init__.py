"""AWS Bedrock as it is simulated: Converse and InvokeModel in event streams."""

"""The only doors to the outside world; foreign errors are translated here, once."""

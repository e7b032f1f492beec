"""Too much work: how much is answered in time, beside Ringback as it was and FastAPI. Run by ``make overload``."""

"""Programmes, the ledger of each customer, and what shops and customers hold in them. One module per noun."""

from app.storage.tables.loyalty import ledger, orders, people, programs

__all__ = ["ledger", "orders", "people", "programs"]

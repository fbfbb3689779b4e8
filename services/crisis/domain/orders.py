"""A clinician's order that comes again is known by the fact it made: no store of keys beside the ledger.

The id of an order's fact is derived from caller, patient, route and Idempotency-Key, and carries a digest of the body. So every
replica that has the fact knows the order, also after a restart and while the store is silent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from services.crisis.domain.facts import Accepted, Acknowledged, Closed, Contacted, Escalated, Fact, Lowered, Offered, Progress


class OtherBody(Exception):
    """The key of this order was used for one with another body."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order under a key: the id derived from that key, and a digest of what was asked."""

    order_id: str
    digest: str

    @property
    def fact_id(self) -> str:
        """The id of the fact that this order makes."""
        return f"{self.order_id}.{self.digest}"


def is_known(order: Order, facts: Iterable[Fact]) -> bool:
    """Whether these facts hold what the order made; raises OtherBody when they hold what its key made of another body."""
    prefix = f"{order.order_id}."
    made = {id_ for fact in facts if (id_ := _id_of(fact)).startswith(prefix)}
    if made and order.fact_id not in made:
        raise OtherBody
    return bool(made)


def _id_of(fact: Fact) -> str:
    match fact:
        case Acknowledged():
            return fact.ack_id
        case Progress():
            return fact.progress_id
        case Contacted():
            return fact.contact_id
        case Escalated():
            return fact.escalation_id
        case Accepted():
            return fact.accept_id
        case Offered():
            return fact.offer_id
        case Lowered():
            return fact.lowering_id
        case Closed():
            return fact.closing_id
        case _:
            return ""

"""Groups: made and changed by staff."""

from services.sessions.domain.group import Group, checked
from services.sessions.ports import Groups


class GroupHandler:
    """The write side of groups. Passes on what a silent store raises."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def put(self, group: Group, version: int | None) -> Group | None:
        """Make or change a group; None when it is not at that version any more. Raises Refused."""
        if not await self._groups.save(checked(group), version):
            return None
        return await self._groups.load(group.group_id)

"""
A cluster in memory.

What the operator asks is answered by `FakeApi`; the verbs here are the hands of
everybody else: persons, kubelets, agents.
"""

from dataclasses import replace

from conntrack_api.policy import ConntrackPolicy
from conntrack_operator.rows import NodeRow, PolicyRow
from conntrack_operator.testing.builders import answered, policy_row
from conntrack_operator.testing.fake_api import FakeApi


class FakeCluster(FakeApi):
    """A cluster in memory."""

    def put_policy(self, wanted: ConntrackPolicy | PolicyRow) -> None:
        """
        Create or edit a policy, as a person does.
        """
        new = policy_row(wanted) if isinstance(wanted, ConntrackPolicy) else wanted
        old = self.truth.get(new.name)
        generation = old.generation + 1 if old else new.generation
        self.truth[new.name] = replace(
            new,
            generation=generation,
            policy=new.policy and replace(new.policy, generation=generation),
            status=old.status if old else new.status,
            finalizers=old.finalizers if old else new.finalizers,
            resource_version=self._next(),
        )

    def delete_policy(self, name: str) -> None:
        """
        Delete a policy, as a person does; finalizers hold it.
        """
        row = self.truth[name]
        if not row.finalizers:
            del self.truth[name]
            return
        later = row.generation + 1  # so does the API server
        self.truth[name] = replace(
            row,
            deleting=True,
            generation=later,
            policy=row.policy and replace(row.policy, deleting=True, generation=later),
            resource_version=self._next(),
        )

    def put_node(self, *rows: NodeRow) -> None:
        """
        Register or relabel Nodes, as kubelets do.
        """
        self.nodes.truth |= {row.name: row for row in rows}

    def delete_node(self, name: str) -> None:
        """
        Delete a Node; what it owns goes with `collect_garbage`.
        """
        del self.nodes.truth[name]

    def collect_garbage(self) -> None:
        """
        Remove the objects whose Node is gone, as the garbage collector does.
        """
        alive = {row.uid for row in self.nodes.truth.values()}
        for name, row in list(self.conntrack_nodes.truth.items()):
            if row.spec and row.spec.node_uid not in alive:
                del self.conntrack_nodes.truth[name]

    def report(
        self,
        *names: str,
        ready: bool = True,
        reason: str | None = None,
        percent: int = 10,
        pressure: bool = False,
    ) -> None:
        """
        Report, as the agents of these nodes do; of all nodes without a name.
        """
        for name in names or tuple(self.conntrack_nodes.truth):
            row = self.conntrack_nodes.truth[name]
            new = answered(
                row, ready=ready, reason=reason, percent=percent, pressure=pressure
            )
            self.conntrack_nodes.truth[name] = replace(
                new, resource_version=self._next()
            )

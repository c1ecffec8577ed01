"""A server that prints its maximum memory, and its memory before the round."""

from cipherfold.flower import SecureAggregation
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from bulk.round import measure

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """One round of secure averaging."""
    measure(grid, context, lambda strategy: SecureAggregation(strategy, max_weight=None, clip=0.5))

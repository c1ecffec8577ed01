"""The same server without encryption."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from bulk.round import measure

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """One round of plain averaging."""
    measure(grid, context, lambda strategy: strategy)

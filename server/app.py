"""The ServerApp: the coordinator's loop, over whichever grid Flower hands it."""

from __future__ import annotations

from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from server.rounds import coordinate
from server.run_log import run_log

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the plan in the folder that the run's configuration names."""
    folder = Path(str(context.run_config["run-dir"]))
    with run_log(folder):
        coordinate(grid, folder)

"""A worker as its supervisor sees it. A worker imports this too, so it asks for nothing but uvicorn."""

from uvicorn.supervisors.multiprocess import Process


class WorkerProcess(Process):
    """One that is known to be dead as soon as it is, also by a supervisor that waits for its answer.

    uvicorn's supervisor asks each worker twice a second whether it lives, and keeps the worker's end of that connection
    open itself: when a worker died in between, it waited for as long as a worker may take to answer, and meanwhile
    replaced nobody and heard no signal.
    """

    def start(self) -> None:
        """Start it, and leave its end to it: the connection then ends with the worker."""
        super().start()
        self.child_conn.close()

"""Workers: processes that run a task somewhere and report what became of it.

Law: whatever a task does to its process, the executor says so and goes on.
"""

from mlwright.compute.executor import Executor, Place, Report, Task
from mlwright.compute.local import LocalExecutor

__all__ = ["Executor", "LocalExecutor", "Place", "Report", "Task"]

"""Workers: processes that run a task somewhere and report what became of it.

Law: whatever a task does to its process, the executor says so and goes on.
"""

from mlwright.compute.executor import Executor, Place, Report, Task
from mlwright.compute.executors import open_executor
from mlwright.compute.local import LocalExecutor
from mlwright.compute.machine import Machine, this_machine

__all__ = ["Executor", "LocalExecutor", "Machine", "Place", "Report", "Task", "open_executor", "this_machine"]

"""Runs told in OpenLineage's words: START and an end for the run and for each of its steps.

Law: what is told comes from the records alone, and telling it neither fails nor holds up a run.
"""

from mlwright.workflow.openlineage.emitter import emitted
from mlwright.workflow.openlineage.events import events_of
from mlwright.workflow.openlineage.lookup import told_of
from mlwright.workflow.openlineage.receivers import Receiver, receiver_of
from mlwright.workflow.openlineage.records import read_records

__all__ = ["Receiver", "emitted", "events_of", "read_records", "receiver_of", "told_of"]

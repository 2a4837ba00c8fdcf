"""Counts the events that the setting "events" names, in the plugin's own state, and notes each in
the log."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.settings_check import Problem
from wit_world.imports import log, settings, state
from wit_world.imports.types import Failure_Internal


class Events(exports.Events):
    def notify(self, events):
        # First all, then the rest: a broken event counts nothing.
        try:
            wanted = json.loads(settings.get("events") or "[]")
            happened = [json.loads(event) for event in events]
        except json.JSONDecodeError as error:
            raise Err(Failure_Internal(str(error)))

        for event in happened:
            name, client = event["event"], event.get("client")
            if name in wanted:
                state.add(name, 1, None)
                log.write(log.Level.INFO, f"{name} from {client}" if client else name)


class SettingsCheck(exports.SettingsCheck):
    """Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`."""

    def check(self):
        there = settings.keys("") or []
        problems = [Problem(key, "there is no such setting") for key in there if key != "events"]
        try:
            names = json.loads(settings.get("events") or "[]")
        except json.JSONDecodeError:
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            problems.append(Problem("events", "expected a list of names"))
        if problems:
            raise Err(problems)

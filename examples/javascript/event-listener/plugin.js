// Counts the events that the setting "events" names, in the plugin's own state, and notes each in
// the log.

import { write } from 'portcullis:plugin/log@0.1.0';
import { get, keys } from 'portcullis:plugin/settings@0.1.0';
import { add } from 'portcullis:plugin/state@0.1.0';

export const events = {
  notify(lines) {
    let wanted, happened;
    // First all, then the rest: a broken event counts nothing.
    try {
      wanted = new Set(JSON.parse(get('events') ?? '[]'));
      happened = lines.map((line) => JSON.parse(line));
    } catch (error) {
      throw { tag: 'internal', val: error.message };
    }
    for (const { event, client } of happened) {
      if (!wanted.has(event)) continue;
      add(event, 1, null); // imports want all of their arguments, and null for none
      write('info', client == null ? event : `${event} from ${client}`);
    }
  },
};

// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`.
export const settingsCheck = {
  check() {
    const problems = (keys('') ?? [])
      .filter((key) => key !== 'events')
      .map((key) => ({ key, reason: 'there is no such setting' }));
    if (!isListOfNames(get('events') ?? '[]')) {
      problems.push({ key: 'events', reason: 'expected a list of names' });
    }
    if (problems.length > 0) throw problems;
  },
};

function isListOfNames(json) {
  try {
    const names = JSON.parse(json);
    return Array.isArray(names) && names.every((name) => typeof name === 'string');
  } catch {
    return false;
  }
}

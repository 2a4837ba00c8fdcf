// Counts the events that the setting "events" names, in the plugin's own state, and notes each in
// the log.

import { write } from 'portcullis:plugin/log@0.1.0';
import { get } from 'portcullis:plugin/settings@0.1.0';
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

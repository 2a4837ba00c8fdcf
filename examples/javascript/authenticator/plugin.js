// Lets one user in: "demo", with the password whose hash is in the settings, and with a one-time
// code on top where the settings have one.
//
// An option without a value is null; `== null` is true of undefined, too.

import { write } from 'portcullis:plugin/log@0.1.0';
import { verify } from 'portcullis:plugin/passwords@0.1.0';
import { get, keys } from 'portcullis:plugin/settings@0.1.0';
import { Account } from 'portcullis:plugin/types@0.1.0';

export const authentication = {
  authenticate(session, credentials) {
    if (credentials.user !== 'demo') return { tag: 'abstain' }; // the next plugin may know the user
    if (credentials.password == null) return deny('no password');

    // A failure is not a denial: it says that nobody can tell, and the client may try again.
    const hash = get('password-hash');
    if (hash == null) throw internal('the setting password-hash is missing');
    let right;
    try {
      right = verify(credentials.password, hash);
    } catch (error) {
      throw internal(error.payload);
    }
    if (!right) return deny('wrong password');

    const code = get('code');
    if (code != null) {
      if (credentials.oneTimeCode == null) return { tag: 'challenge', val: 'One-time code, please' };
      if (credentials.oneTimeCode !== code) return deny('wrong code');
    }

    write('info', `demo logs in from ${session.clientAddress()}`);

    const account = new Account('/demo');
    account.setPermissions({ list: true, download: true, upload: true });
    account.setGroups(['users']);
    account.setGreeting('Welcome to the demonstration');
    return { tag: 'accept', val: account };
  },
};

// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`.
export const settingsCheck = {
  check() {
    const known = ['password-hash', 'code'];
    const there = keys('') ?? [];
    const problems = there
      .filter((key) => !known.includes(key))
      .map((key) => ({ key, reason: 'there is no such setting' }));
    if (!there.includes('password-hash')) problems.push({ key: 'password-hash', reason: 'needed' });
    if (problems.length > 0) throw problems;
  },
};

const deny = (reason) => ({ tag: 'deny', val: reason });
const internal = (reason) => ({ tag: 'internal', val: reason });

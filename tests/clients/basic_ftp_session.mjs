// Uploads empty files with basic-ftp: MODULES PORT VERSION USER PASSWORD ROUNDS
import { createRequire } from "node:module";
import { Readable } from "node:stream";

const [modules, port, version, user, password, rounds] = process.argv.slice(2);
const { Client } = createRequire(`${modules}/`)("basic-ftp");

const client = new Client(30_000);
await client.access({
  host: "127.0.0.1",
  port: Number(port),
  user,
  password,
  secure: true,
  secureOptions: { rejectUnauthorized: false, minVersion: version, maxVersion: version },
});
for (let round = 0; round < Number(rounds); round++) {
  await client.uploadFrom(Readable.from([]), `empty${round}`);
}
await client.uploadFrom(Readable.from([Buffer.alloc(300_000, "x")]), "file");
const entries = await client.list();
if (entries.length !== Number(rounds) + 1) throw new Error(`${entries.length} entries`);
client.close();

// What every Node.js peer is measured with.
import pg from 'pg';

export const [url, workload, count, warmUp] = [
  process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5]),
];

// About a hundred bytes, the same as in `intendant bench`.
export const payload = (number) => ({
  number,
  text: 'seventy characters of text that stand for what an operation is about…',
});

/// Steps that have run.
export const ran = { steps: 0 };

/// A number from the environment, to try other settings out.
export const setting = (name, fallback) => Number(process.env[name] ?? fallback);

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/// The database is asked only when every step has run, as `intendant bench` does.
async function finished(client, steps, unfinished) {
  while (ran.steps < steps) await sleep(1);
  for (;;) {
    const { rows } = await client.query(unfinished);
    if (Number(Object.values(rows[0])[0]) === 0) return;
    await sleep(1);
  }
}

/// Loads a backlog, then measures from before the worker's start until nothing of it is unfinished; first a small one
/// that is not counted. `unfinished` is SQL that counts what is not done.
export async function measure({ steps, load, start, unfinished }) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let seconds = 0;
  for (const jobs of [warmUp, count]) {
    await load(jobs);
    await client.query('vacuum analyze');
    ran.steps = 0;
    const began = performance.now();
    const stop = await start();
    await finished(client, jobs * steps, unfinished);
    seconds = (performance.now() - began) / 1000;
    await stop();
  }
  await client.end();
  console.log(JSON.stringify({ seconds }));
  process.exit(0);
}

/// The numbers from 0 in pieces.
export function* pieces(jobs, size) {
  for (let from = 0; from < jobs; from += size) {
    yield Array.from({ length: Math.min(size, jobs - from) }, (_, i) => from + i);
  }
}

// A workflow on a queue: https://docs.dbos.dev/typescript/tutorials/queue-tutorial
import { DBOS, DBOSClient } from '@dbos-inc/dbos-sdk';
import { measure, payload, pieces, ran, setting, url, workload } from './measure.mjs';

const steps = workload === 'chain' ? 3 : 1;
const quiet = { info() {}, debug() {}, warn() {}, error: console.error };
const step = async (value) => { ran.steps += 1; return { ...value, number: value.number + 1 }; };

DBOS.setConfig({
  name: 'bench',
  systemDatabaseUrl: url,
  systemDatabasePoolSize: setting('POOL', 20),
  applicationVersion: '1',
  logger: quiet,
});
const workflow = DBOS.registerWorkflow(async (input) => {
  let value = input;
  for (let n = 1; n <= steps; n += 1) {
    value = await DBOS.runStep(() => step(value), { name: `step-${n}` });
  }
  return value;
}, { name: 'bench' });

await DBOS.launch();
await DBOS.registerQueue('bench', {
  workerConcurrency: setting('CONCURRENCY', 200),
  minPollingIntervalMs: setting('POLL', 10),
});
await DBOS.shutdown();
const client = await DBOSClient.create({ systemDatabaseUrl: url, systemDatabasePoolSize: 20, applicationName: 'bench', logger: quiet });

await measure({
  steps,
  unfinished: `select count(*) from dbos.workflow_status where status in ('ENQUEUED', 'PENDING', 'DELAYED')`,
  async load(jobs) {
    for (const piece of pieces(jobs, 200)) {
      await Promise.all(piece.map((n) => client.enqueue({ workflowName: 'bench', queueName: 'bench' }, payload(n))));
    }
  },
  async start() {
    await DBOS.launch();
    return () => DBOS.shutdown();
  },
});

// https://pgboss.io/api/workers: batches, fetched without a pause as long as they come back full. A chain is a flow:
// three jobs, each waiting for the one before.
import { PgBoss } from 'pg-boss';
import { measure, payload, pieces, ran, setting, url, workload } from './measure.mjs';

const boss = new PgBoss({ connectionString: url, max: setting('POOL', 10), schedule: false, flowIntervalSeconds: 1 });
boss.on('error', (error) => { console.error(error); process.exit(1); });
await boss.start();
await boss.createQueue('bench');

await measure({
  steps: workload === 'chain' ? 3 : 1,
  unfinished: `select count(*) from pgboss.job where state < 'completed'`,
  async load(jobs) {
    for (const piece of pieces(jobs, 1000)) {
      if (workload === 'chain') {
        await boss.flow(piece.flatMap((n) => [1, 2, 3].map((step) => ({
          ref: `${n}-${step}`,
          name: 'bench',
          data: payload(n),
          dependsOn: step === 1 ? [] : [`${n}-${step - 1}`],
        }))));
      } else {
        await boss.insert('bench', piece.map((n) => ({ data: payload(n) })));
      }
    }
  },
  async start() {
    await boss.work('bench', {
      batchSize: setting('BATCH', 1000),
      localConcurrency: setting('CONCURRENCY', 2),
      burstWhenBatchFull: true,
      pollingIntervalSeconds: 0.5,
      perJobResults: setting('RESULTS', 1) === 1,
    }, async (jobs) => {
      ran.steps += jobs.length;
      return jobs.map(({ id, data }) => ({ id, status: 'completed', output: data }));
    });
    // Dependents are released by a timer, of a second at the least; an application may ask for it more often.
    const flows = workload === 'chain' && setInterval(() => void boss.resolveFlow(), 50);
    return () => {
      clearInterval(flows);
      return boss.offWork('bench');
    };
  },
});

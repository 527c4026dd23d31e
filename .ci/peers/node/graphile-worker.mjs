// https://worker.graphile.org/docs/performance: the settings of its own figures, local queue and batched completion.
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { measure, payload, pieces, ran, setting, url } from './measure.mjs';

const logger = new Logger(() => () => {});
const utils = await makeWorkerUtils({ connectionString: url, logger });
await utils.migrate();

await measure({
  steps: 1,
  unfinished: 'select count(*) from graphile_worker._private_jobs',
  async load(jobs) {
    for (const piece of pieces(jobs, 1000)) {
      await utils.addJobs(piece.map((n) => ({ identifier: 'single', payload: payload(n) })));
    }
  },
  async start() {
    const runner = await run({
      logger,
      taskList: { async single() { ran.steps += 1; } },
      preset: {
        worker: {
          connectionString: url,
          concurrentJobs: setting('CONCURRENCY', 24),
          maxPoolSize: setting('POOL', 25),
          localQueue: { size: setting('BATCH', 500) },
          completeJobBatchDelay: setting('DELAY', 0),
          failJobBatchDelay: 0,
        },
      },
    });
    return () => runner.stop();
  },
});

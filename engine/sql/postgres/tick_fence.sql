-- Tick, first statement: the session lives, and this tick has not been committed before. Locks the session's row against
-- a reaper until the commit. Sets what holds for this transaction only: limits shorter than a lease, plans that do not
-- depend on statistics, and whether the commit waits for the disk. Returns how often the session has been told to stop
-- something, how often people have said something of queues, and what time it is. 1 session, 2 number, 3 later.
update intendant.session set tick = $2::bigint where id = $1::uuid and tick = $2::bigint - 1
returning cancels, (select version from intendant.control where id = 1), (extract(epoch from now()) * 1000000)::bigint,
          set_config('idle_in_transaction_session_timeout', '10s', true), set_config('statement_timeout', '10s', true),
          set_config('lock_timeout', '5s', true), set_config('enable_seqscan', 'off', true),
          set_config('jit', 'off', true),
          case when $3::boolean then set_config('synchronous_commit', 'off', true) end

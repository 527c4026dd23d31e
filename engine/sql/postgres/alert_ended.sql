-- Housekeeping: resolves open alerts whose cause is gone as the rows say: what was late is done, what was slow has ended, a
-- worker is back or has been away for so long that nobody misses it, a kind is trusted again, or what
-- it was about has been removed. Index alert_open, primary keys. 1 how long a worker is missed (microseconds).
update intendant.alert a set resolved_at = greatest(clock_timestamp(), a.raised_at)
 where a.resolved_at is null
   and (a.intent_id is not null and not exists (select from intendant.intent i where i.id = a.intent_id)
        or case a.kind
         when 'intent deadline' then
           exists (select from intendant.outcome o where o.intent_id = a.intent_id and o.state <> 'failed')
         when 'step deadline' then
           exists (select from intendant.outcome o where o.intent_id = a.intent_id and o.state <> 'failed')
           or exists (select from intendant.step s
                       where s.intent_id = a.intent_id and s.name = a.step
                         and (s.generation > a.generation
                              or (s.generation = a.generation and s.state in ('succeeded', 'skipped', 'undone'))))
         when 'slow step' then
           exists (select from intendant.outcome o where o.intent_id = a.intent_id)
           or not exists (select from intendant.step s
                           where s.intent_id = a.intent_id and s.name = a.step and s.generation = a.generation
                             and s.state = 'running' and s.started_at <= a.raised_at)
         when 'worker gone' then
           a.raised_at <= clock_timestamp() - $1::bigint * interval '1 microsecond'
           or exists (select from intendant.session s
                       where s.started_at > a.since
                         and (s.worker = a.worker or split_part(s.host, '/', 1) = split_part(a.host, '/', 1)))
         when 'kind backs off' then
           not exists (select from intendant.poison p where p.kind = a.intent_kind and p.intents > 1)
         else false
       end)

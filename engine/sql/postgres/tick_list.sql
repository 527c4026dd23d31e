-- What came of a schedule's ticks, the latest first. Primary key, backwards. 1 schedule, 2 how many.
select schedule, at, sort = 'hand', state, intent_id, error, count::bigint, since, decided_at, worker, asked_by, reason
  from intendant.schedule_tick where schedule = $1::text order by at desc, sort desc limit $2::bigint

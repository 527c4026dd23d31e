-- Retention: what has been said of how long what has finished is kept; small. Workers' rounds, and people.
select kind, state, said, rows_us, payloads_us, revision, said_at, said_by, reason
  from intendant_retention order by kind, state, said

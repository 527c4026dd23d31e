-- Retention: takes the turn, or keeps it: for each batch, which so is the only one while it lasts. Nobody else has it before its
-- holder is dead or has been silent. Skips it while somebody else is at a batch. 1 session (null: a person has it done now,
-- whoever's turn it is), 2 worker, 3 silence (microseconds).
update intendant.turn t set session_id = $1::uuid, worker = $2::text, at = clock_timestamp()
 where t.duty = any (array (select d.duty from intendant.turn d where d.duty = 'retain' for update skip locked))
   and ($1::uuid is null or t.session_id is null or t.session_id = $1::uuid
        or not exists (select from intendant.session s where s.id = t.session_id)
        or t.at <= clock_timestamp() - $3::bigint * interval '1 microsecond')
returning duty

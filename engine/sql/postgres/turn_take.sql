-- Housekeeping: takes the turn at a duty, if nobody has had it of late and nobody live is at it. Skips it while somebody
-- else takes it. 1 duty, 2 session, 3 worker, 4 how often (microseconds), 5 how long one may be at it.
update intendant.turn t set session_id = $2::uuid, worker = $3::text, at = clock_timestamp()
 where t.duty = any (array (select d.duty from intendant.turn d where d.duty = $1::text for update skip locked))
   and t.at <= clock_timestamp() - $4::bigint * interval '1 microsecond'
   and (t.session_id is null or not exists (select from intendant.session s where s.id = t.session_id)
        or t.at <= clock_timestamp() - $5::bigint * interval '1 microsecond')
returning duty

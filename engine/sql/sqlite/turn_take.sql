-- Housekeeping: takes the turn at a duty, if nobody has had it of late and nobody live is at it.
-- 1 duty, 2 session, 3 worker, 4 how often (microseconds), 5 how long one may be at it, 6 now.
update intendant_turn set session_id = ?2, worker = ?3, at = ?6
 where duty = ?1 and at <= ?6 - ?4
   and (session_id is null or not exists (select 1 from intendant_session s where s.id = session_id) or at <= ?6 - ?5)
returning duty

-- Retention: takes the turn, or keeps it: for each batch, which so is the only one while it lasts. Nobody else has it before its
-- holder is dead or has been silent. 1 session (null: a person has it done now,
-- whoever's turn it is), 2 worker, 3 silence (microseconds), 4 now.
update intendant_turn set session_id = ?1, worker = ?2, at = ?4
 where duty = 'retain'
   and (?1 is null or session_id is null or session_id = ?1
        or not exists (select 1 from intendant_session s where s.id = session_id) or at <= ?4 - ?3)
returning duty

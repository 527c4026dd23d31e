-- Schedule: an operator removes one that no live session declares, and what people have asked of it that nobody has carried
-- out. Primary keys. 1 name.
delete from intendant_schedule_tick
 where schedule = ?1 and state = 'asked' and not exists (select 1 from intendant_session_schedule d where d.schedule = ?1);
delete from intendant_schedule
 where name = ?1 and not exists (select 1 from intendant_session_schedule d where d.schedule = ?1)
returning name

-- Cancel: tells the sessions that hold what is to be stopped. Returns those that are still there. 1 sessions.
update intendant_session set cancels = cancels + 1 where id in (select n.value from jsonb_each(?1) n)
returning id

-- Whoever requests or works: how many tasks of a queue with a cap are in line, up to the cap. The primary key of *ready*. 1 queue, 2 cap.
select count(*) from (select 1 from intendant_ready where queue = ?1 limit ?2)

-- Whoever requests or works: how many tasks of a queue with a cap are in line, up to the cap. The primary key of *ready*. 1 queue, 2 cap.
select count(*) from (select from intendant.ready where queue = $1::text limit $2::bigint) waiting

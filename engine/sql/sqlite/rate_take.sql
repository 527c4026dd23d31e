-- Tick: permits of queues were taken, or given back: until when what they have permitted is paid off. Primary key.
-- 1 queue, time in microseconds.
update intendant_queue as q set rate_tat = t.value ->> 1 from jsonb_each(?1) t where q.name = t.value ->> 0

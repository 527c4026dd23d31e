-- Tell: so many of these have been told; what has come since is for the next time. Primary key. 1 worker, 2 topic, count;
-- 3 now.
update intendant_notice as o set count = max(o.count - (n.value ->> 1), 0), told_at = ?3, told_by = ?1
  from jsonb_each(?2) n
 where o.topic = n.value ->> 0

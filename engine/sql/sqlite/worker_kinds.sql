-- Workers: what these sessions claim; by the primary key. 1 sessions.
select session_id, queue, kind from intendant_session_kind
 where session_id in (select n.value from jsonb_each(?1) n) order by queue, kind

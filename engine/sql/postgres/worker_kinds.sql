-- Workers: what these sessions claim; by the primary key. 1 sessions.
select session_id, queue, kind from intendant.session_kind where session_id = any ($1::uuid[]) order by queue, kind

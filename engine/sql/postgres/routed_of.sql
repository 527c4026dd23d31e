-- Retry and skip: the task of a step that is under way in another queue. The unique key. Locks nothing. 1 intent, 2 step.
select task_id from intendant.routed where intent_id = $1::uuid and step = $2::text

-- Resume and the like: the limits of steps that are not done count from now on. Primary key. 1 intents.
update intendant_step set begun_at = null
 where intent_id in (select n.value from jsonb_each(?1) n) and begun_at is not null
   and state not in ('succeeded', 'skipped', 'undone')

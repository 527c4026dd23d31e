-- Resume and the like: the limits of steps that are not done count from now on. Primary key. 1 intents.
update intendant.step set begun_at = null
 where intent_id = any ($1::uuid[]) and begun_at is not null and state not in ('succeeded', 'skipped', 'undone')

"""Create the permissions."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """A model without a table, for its permissions."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[migrations.operations.base.Operation]] = [
        migrations.CreateModel(
            name="Recommendations",
            fields=[
                (
                    "id",
                    models.AutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
            ],
            options={
                "permissions": (
                    ("manage_recommendations", "Can manage recommendations"),
                    ("inspect_users", "Can look at the recommendations of users"),
                ),
                "managed": False,
                "default_permissions": (),
            },
        ),
    ]
